// Model: the contract, the rules and a session of onnxruntime, asked in rows as the server is.

package servable

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer
import java.security.MessageDigest

/** Rows of the answer, by the outputs' names, and the rows where each rule fired. */
class Answer(val rows: List<Map<String, Any?>>, val fired: Map<String, List<Int>>)

/** A model from contract.json and model.ort, which an app reads from its assets. Throws ServableError. */
class Model(contract: String, model: ByteArray) : AutoCloseable {
    val contract = Contract(contract)
    private val rules = Rules(this.contract.told)
    private val inside = this.contract.told.getJSONObject("model")
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession

    init {
        val file = this.contract.told.getJSONObject("file")
        val found = MessageDigest.getInstance("SHA-256").digest(model).joinToString("") { "%02x".format(it) }
        if (found != file.getString("sha256")) {
            throw ServableError("digest_mismatch", listOf("model.ort has SHA-256 $found, the export says ${file.getString("sha256")}"))
        }
        session = environment.createSession(model)
    }

    /** The answer to rows: numbers, texts, null where there is no value. Throws ServableError with every fault. */
    fun predict(rows: List<Map<String, Any?>>): Answer {
        val (columns, fired) = rules.judge(contract.read(rows), rows.size)
        val parts = if (inside.getBoolean("alone")) rows.indices.map { it..it } else listOf(rows.indices)
        return Answer(parts.filterNot { it.isEmpty() }.flatMap { run(columns, it) }, fired)
    }

    private fun run(columns: Map<String, Column>, rows: IntRange): List<Map<String, Any?>> {
        val feeds = contract.inputs.associate { it.name to tensor(it, columns.getValue(it.name), rows) }
        try {
            session.run(feeds).use { given ->
                val answers = contract.outputs.associateWith { values(it, given.get(it.name).get() as OnnxTensor) }
                return rows.indices().map { row -> answers.entries.associate { (field, values) -> field.name to part(field, values, row, rows.count()) } }
            }
        } finally {
            feeds.values.forEach { it.close() }
        }
    }

    private fun tensor(field: Field, column: Column, rows: IntRange): OnnxTensor {
        val values = column.values.slice(rows.first * column.width until (rows.last + 1) * column.width)
        val declared = inputShape(field.name)
        val shape = LongArray(declared) { if (it == 0) rows.count().toLong() else column.width.toLong() }
        return when (field.datatype) {
            "FP32" -> OnnxTensor.createTensor(environment, FloatBuffer.wrap(FloatArray(values.size) { (values[it] as Double?)?.toFloat() ?: Float.NaN }), shape)
            "INT64" -> OnnxTensor.createTensor(environment, LongBuffer.wrap(LongArray(values.size) { values[it] as Long }), shape)
            "INT32" -> OnnxTensor.createTensor(environment, IntBuffer.wrap(IntArray(values.size) { (values[it] as Long).toInt() }), shape)
            else -> OnnxTensor.createTensor(environment, Array(values.size) { values[it] as String? ?: missingText() }, shape)
        }
    }

    private fun inputShape(name: String): Int =
        objects(contract.told.getJSONArray("inputs")).first { it.getString("name") == name }.getJSONArray("shape").length()

    private fun missingText(): String =
        if (inside.isNull("missing_text")) throw ServableError("model_failed", listOf("the model takes text, got a missing value")) else inside.getString("missing_text")

    private fun values(field: Field, tensor: OnnxTensor): List<Any> = when (field.datatype) {
        "FP32" -> tensor.floatBuffer.let { buffer -> List(buffer.remaining()) { buffer.get(it) } }
        "INT64" -> tensor.longBuffer.let { buffer -> List(buffer.remaining()) { buffer.get(it) } }
        "INT32" -> tensor.intBuffer.let { buffer -> List(buffer.remaining()) { buffer.get(it) } }
        else -> flat(tensor.value)
    }

    private fun flat(value: Any?): List<Any> = if (value is Array<*>) value.flatMap(::flat) else listOf(value as Any)

    /** What one row was answered: a value, values by feature, or a list. */
    private fun part(field: Field, values: List<Any>, row: Int, rows: Int): Any? {
        val width = values.size / rows
        val own = values.subList(row * width, (row + 1) * width).map { if (it is Float && !it.isFinite()) null else it }
        return if (field.features.size == width && width > 0 && field.features.isNotEmpty()) field.features.zip(own).toMap() else if (width == 1) own[0] else own
    }

    override fun close() = session.close()
}

private fun IntRange.indices(): IntRange = 0 until count()
