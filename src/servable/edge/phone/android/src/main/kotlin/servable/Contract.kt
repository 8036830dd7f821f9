// Contract: rows of named values to the model's inputs, held against what it takes. Every fault is told at once.

package servable

import java.math.BigDecimal
import org.json.JSONArray
import org.json.JSONObject

/** What kept rows from the model. `code` is the server's: "invalid_input", "refused", "digest_mismatch". */
class ServableError(val code: String, val faults: List<String>) : Exception(faults.joinToString("; "))

/** The values of an input, row by row: Double, Long or String; null is missing. */
class Column(val width: Int, val values: Array<Any?>)

/** One input or output, as contract.json tells it. */
class Field(told: JSONObject) {
    val name: String = told.getString("name")
    val datatype: String = told.getString("datatype")
    val features: List<String> = texts(told.getJSONArray("features"))
    private val shape = told.getJSONArray("shape")
    val width: Int = (1 until shape.length()).fold(1) { size, axis -> size * shape.getInt(axis) }
    private val values = told.getString("values")
    private val low = limit(told, "low")
    private val high = limit(told, "high")
    private val categories = told.optJSONObject("categories")?.let { texts(it.getJSONArray("allowed")).toSet() }

    /** The columns that rows name it by. */
    val columns: List<String> = if (features.isEmpty()) listOf(name) else features

    /** The values of these rows. What is wrong with them goes to `faults`. */
    fun read(rows: List<Map<String, Any?>>, faults: MutableList<String>): Column {
        val read = rows.flatMapIndexed { row, given ->
            val found = if (features.isEmpty()) spread(given[name]) else features.map { given[it] }
            val absent = columns.firstOrNull { it !in given }
            when {
                absent != null && !(values == "missing" && datatype in setOf("FP32", "BYTES")) -> {
                    faults += "'$absent': expected in every row, got none in row $row"
                    List(width) { null }
                }
                found.size != width -> {
                    faults += "'$name': expected $width values a row, got ${found.size} in row $row"
                    List(width) { null }
                }
                else -> found.map { value -> one(value) { expected -> faults += "'$name': expected $expected, got $value (row $row)" } }
            }
        }
        return Column(width, read.toTypedArray())
    }

    private fun spread(value: Any?): List<Any?> = if (width > 1 && value is List<*>) value else listOf(value)

    /** A value as the datatype holds it; `wrong` is told what was expected of one that it does not hold. */
    private fun one(value: Any?, wrong: (String) -> Unit): Any? {
        val held: Any? = when {
            value == null -> {
                if (values == "finite" || datatype.startsWith("INT")) wrong("a value")
                return null
            }
            datatype == "BYTES" -> text(value)
            value is Number -> number(value)
            else -> null
        }
        when {
            held == null -> wrong(if (datatype == "BYTES") "text" else "a number that fits $datatype")
            held is Double && held.isNaN() && values == "finite" -> wrong("a finite number")
            held is Number && low != null && held.toDouble() < low -> wrong("at least $low")
            held is Number && high != null && held.toDouble() > high -> wrong("at most $high")
            categories != null && held.toString() !in categories -> wrong("one of ${categories.take(20).joinToString()}")
        }
        return if (held is Double && held.isNaN()) null else held
    }

    /** A category written as a number: 8 and 8.0 are both "8". */
    private fun text(value: Any): String? = when (value) {
        is String -> value
        is Double -> if (value % 1.0 == 0.0) BigDecimal(value).toBigInteger().toString() else value.toString()
        is Number -> value.toString()
        else -> null
    }

    private fun number(value: Number): Any? {
        val wide = value.toDouble()
        if (datatype == "FP32") return value.toFloat().toDouble().takeUnless { it.isInfinite() }
        val whole = if (value is Int || value is Long) value.toLong() else wide.toLong().takeIf { it.toDouble() == wide }
        return whole?.takeIf { datatype == "INT64" || it in Int.MIN_VALUE..Int.MAX_VALUE }
    }
}

/** What the model takes and gives, and its rules. */
class Contract(json: String) {
    val told = JSONObject(json)
    val name: String = told.getString("name")
    val version: String = told.getString("version")
    val inputs: List<Field> = objects(told.getJSONArray("inputs")).map(::Field)
    val outputs: List<Field> = objects(told.getJSONArray("outputs")).map(::Field)
    private val known = inputs.flatMap { it.columns }.toSet()

    /** The inputs of these rows. Throws ServableError with every fault. */
    fun read(rows: List<Map<String, Any?>>): Map<String, Column> {
        val faults = mutableListOf<String>()
        val read = inputs.associate { it.name to it.read(rows, faults) }
        rows.flatMap { it.keys }.distinct().filter { it !in known }.forEach { faults += "'$it': expected a column of the model, got an unknown column" }
        if (faults.isNotEmpty()) throw ServableError("invalid_input", faults)
        return read
    }
}

fun texts(array: JSONArray): List<String> = List(array.length()) { array.getString(it) }

fun objects(array: JSONArray): List<JSONObject> = List(array.length()) { array.getJSONObject(it) }

private fun limit(told: JSONObject, name: String): Double? = told.optJSONObject(name)?.getDouble("value")
