// Rules: guardrails over rows before the model: bounds, categories and missing values of inputs. The export refuses others.

package servable

import org.json.JSONObject

/** One rule, as contract.json tells it. */
class Rule(told: JSONObject, place: JSONObject) {
    val name: String = told.getString("name")
    val action: String = told.getString("action")
    private val judges = told.getString("judges")
    private val expected = told.getString("expected")
    private val reason = told.optString("reason")
    private val low = number(told, "low")
    private val high = number(told, "high")
    private val allowed = told.optJSONArray("allowed")?.let { list -> List(list.length()) { held(list.get(it)) } }
    private val to: Any? = if (told.isNull("to")) null else held(told.get("to"))
    val field: String = place.getString("field")
    private val at = place.getInt("at")

    fun index(row: Int, column: Column): Int = row * column.width + at

    fun fires(value: Any?): Boolean = when (judges) {
        "bounds" -> value is Number && ((low != null && value.toDouble() < low) || (high != null && value.toDouble() > high))
        "categories" -> value != null && allowed!!.none { same(it, value) }
        else -> value == null
    }

    /** What is put in the place of a value. */
    fun put(value: Any?): Any? {
        val put = to ?: if (low != null && value is Number && value.toDouble() < low) low else high
        return if (value is Long && put is Number) put.toLong() else put
    }

    fun told(value: Any?, row: Int): String =
        "refused by rule '$name': ${if (reason.isEmpty()) "" else "$reason; "}expected $expected, got ${value ?: "nothing"} (row $row)"
}

/** The rules of one model. */
class Rules(contract: JSONObject) {
    private val places = contract.getJSONObject("places")
    private val rules = objects(contract.getJSONArray("rules")).map { Rule(it, places.getJSONObject(it.getString("column"))) }

    /** The inputs with the values that rules put there, and the rows where each rule fired. Throws ServableError. */
    fun judge(columns: Map<String, Column>, count: Int): Pair<Map<String, Column>, Map<String, List<Int>>> {
        val fired = rules.associateWith { rule ->
            val column = columns.getValue(rule.field)
            (0 until count).filter { rule.fires(column.values[rule.index(it, column)]) }
        }.filterValues { it.isNotEmpty() }
        val refusals = fired.filterKeys { it.action == "refuse" }.flatMap { (rule, rows) ->
            val column = columns.getValue(rule.field)
            rows.map { rule.told(column.values[rule.index(it, column)], it) }
        }
        if (refusals.isNotEmpty()) throw ServableError("refused", refusals)
        val changed = columns.mapValues { (_, column) -> Column(column.width, column.values.copyOf()) }
        for ((rule, rows) in fired.filterKeys { it.action == "clip" }) {
            val column = changed.getValue(rule.field)
            for (row in rows) {
                val index = rule.index(row, column)
                if (rule.fires(column.values[index])) column.values[index] = rule.put(column.values[index])
            }
        }
        return changed to fired.mapKeys { it.key.name }
    }
}

private fun number(told: JSONObject, name: String): Double? = if (told.isNull(name)) null else told.getDouble(name)

private fun held(value: Any): Any = if (value is Int) value.toLong() else value

private fun same(one: Any, other: Any): Boolean =
    if (one is Number && other is Number) one.toDouble() == other.toDouble() else one == other
