// Golden rows: the model answers as where it was made. Needs onnxruntime, as build.gradle.kts brings it.

package servable

import java.io.File
import kotlin.math.abs
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class GoldenTest {
    private val assets = File("src/main/assets")
    private val golden = JSONObject(File(assets, "golden.json").readText())

    @Test
    fun goldenRows() {
        Model(File(assets, "contract.json").readText(), File(assets, "model.ort").readBytes()).use { model ->
            for (asked in objects(golden.getJSONArray("asked"))) {
                val rows = objects(asked.getJSONObject("body").getJSONArray("rows")).map(::plain)
                val expected = objects(asked.getJSONObject("told").getJSONArray("rows")).map(::plain)
                expected.zip(model.predict(rows).rows).forEach { (want, got) -> compare(want, got) }
            }
        }
    }

    private fun compare(want: Any?, got: Any?) {
        when {
            want is Map<*, *> && got is Map<*, *> -> want.forEach { (name, value) -> compare(value, got[name]) }
            want is List<*> && got is List<*> -> want.zip(got).forEach { (one, other) -> compare(one, other) }
            want is Number && got is Number -> {
                val allowed = golden.getDouble("absolute") + golden.getDouble("relative") * abs(want.toDouble())
                assertTrue("$got, expected $want", abs(want.toDouble() - got.toDouble()) <= allowed)
            }
            else -> assertEquals(want, got)
        }
    }
}

/** JSON as Kotlin's own maps and lists. */
fun plain(told: JSONObject): Map<String, Any?> = told.keys().asSequence().associateWith { value(told.get(it)) }

private fun value(told: Any?): Any? = when (told) {
    JSONObject.NULL -> null
    is JSONObject -> plain(told)
    is JSONArray -> List(told.length()) { value(told.get(it)) }
    else -> told
}
