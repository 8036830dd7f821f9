// For the tests: what the contract and the rules make of bodies, one line of JSON each; or what becomes of a look for an update.

package servable

import java.io.File
import org.json.JSONArray
import org.json.JSONObject

fun main(arguments: Array<String>) {
    if (arguments[0] == "update") return look(arguments)
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

/** `update SETTINGS FOLDER WORD`: with "bad" golden rows fail, "back" goes back. */
private fun look(arguments: Array<String>) {
    val updates = Updates(File(arguments[1]).readText(), File(arguments[2]))
    if (arguments[3] == "back") updates.rollback()
    val state = updates.update { files ->
        Contract(String(files.getValue("contract.json")))
        if (arguments[3] == "bad") throw IllegalStateException("golden rows 0: 1, expected 2")
    }
    val used = updates.current()?.let { Contract(String(it.getValue("contract.json"))).told.getString("version") }
    val told = mapOf("update" to state.update, "message" to state.message, "version" to (used ?: "shipped"), "stopped" to (updates.stopped("2") ?: ""))
    println(JSONObject(told))
}
