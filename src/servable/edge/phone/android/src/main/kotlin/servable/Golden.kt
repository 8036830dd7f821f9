// Golden: rows and the answers they must get, asked of a model on the device that is to run it.

package servable

import kotlin.math.abs
import org.json.JSONArray
import org.json.JSONObject

/** Where the model answers otherwise than golden.json says: a sentence for each such value. */
fun differences(model: Model, golden: JSONObject): List<String> {
    val found = mutableListOf<String>()
    for ((number, asked) in objects(golden.getJSONArray("asked")).withIndex()) {
        val rows = objects(asked.getJSONObject("body").getJSONArray("rows")).map(::plain)
        val expected = objects(asked.getJSONObject("told").getJSONArray("rows")).map(::plain)
        compare(expected, model.predict(rows).rows, golden) { want, got -> found += "golden rows $number: $got, expected $want" }
    }
    return found
}

private fun compare(want: Any?, got: Any?, golden: JSONObject, wrong: (Any?, Any?) -> Unit) {
    when {
        want is Map<*, *> && got is Map<*, *> -> want.forEach { (name, value) -> compare(value, got[name], golden, wrong) }
        want is List<*> && got is List<*> && want.size == got.size -> want.zip(got).forEach { (one, other) -> compare(one, other, golden, wrong) }
        want is Number && got is Number -> {
            val allowed = golden.getDouble("absolute") + golden.getDouble("relative") * abs(want.toDouble())
            if (!(abs(want.toDouble() - got.toDouble()) <= allowed)) wrong(want, got)
        }
        want != got -> wrong(want, got)
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
