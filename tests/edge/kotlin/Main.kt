// For the test: what the contract and the rules make of bodies, one line of JSON each.

package servable

import java.io.File
import org.json.JSONArray
import org.json.JSONObject

fun main(arguments: Array<String>) {
    val contract = Contract(File(arguments[0]).readText())
    val rules = Rules(contract.told)
    for (body in objects(JSONObject(File(arguments[1]).readText()).getJSONArray("bodies"))) {
        val rows = objects(body.getJSONArray("rows")).map { plain(it) }
        val told = try {
            val (columns, fired) = rules.judge(contract.read(rows), rows.size)
            val values = columns.mapValues { (_, column) -> JSONArray(column.values.map { it ?: JSONObject.NULL }) }
            mapOf("columns" to JSONObject(values), "fired" to JSONObject(fired.mapValues { JSONArray(it.value) }))
        } catch (error: ServableError) {
            mapOf("code" to error.code, "faults" to JSONArray(error.faults))
        }
        println(JSONObject(told))
    }
}

private fun plain(told: JSONObject): Map<String, Any?> = told.keys().asSequence().associateWith { value(told.get(it)) }

private fun value(told: Any?): Any? = when (told) {
    JSONObject.NULL -> null
    is JSONObject -> plain(told)
    is JSONArray -> List(told.length()) { value(told.get(it)) }
    else -> told
}
