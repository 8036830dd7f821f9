// Rules: guardrails over rows before the model: bounds, categories and missing values of inputs. The export refuses others.

import Foundation

/// One rule, as contract.json tells it.
struct Rule {
    let name: String
    let action: String
    let field: String
    private let judges: String
    private let expected: String
    private let reason: String
    private let low: Double?
    private let high: Double?
    private let allowed: [Value]
    private let to: Value
    private let at: Int

    init(_ told: Told, _ place: Told) {
        name = told["name"] as! String
        action = told["action"] as! String
        judges = told["judges"] as! String
        expected = told["expected"] as! String
        reason = told["reason"] as? String ?? ""
        low = told["low"] as? Double
        high = told["high"] as? Double
        allowed = (told["allowed"] as? [Any] ?? []).map(held)
        to = held(told["to"])
        field = place["field"] as! String
        at = place["at"] as! Int
    }

    func index(_ row: Int, _ column: Column) -> Int { row * column.width + at }

    func fires(_ value: Value) -> Bool {
        switch (judges, value) {
        case ("bounds", .number(let number)): return low.map { number < $0 } ?? false || high.map { number > $0 } ?? false
        case ("bounds", _): return false
        case ("categories", _): return value != .none && !allowed.contains(value)
        default: return value == .none
        }
    }

    /// What is put in the place of a value.
    func put(_ value: Value) -> Value {
        if to != .none { return to }
        if let low, case .number(let number) = value, number < low { return .number(low) }
        return high.map(Value.number) ?? value
    }

    func told(_ value: Value, _ row: Int) -> String {
        let because = reason.isEmpty ? "" : "\(reason); "
        return "refused by rule '\(name)': \(because)expected \(expected), got \(shown(value)) (row \(row))"
    }
}

/// The rules of one model.
struct Rules {
    private let rules: [Rule]

    init(_ contract: Told) {
        let places = contract["places"] as! [String: Told]
        rules = (contract["rules"] as! [Told]).map { Rule($0, places[$0["column"] as! String]!) }
    }

    /// The inputs with the values that rules put there, and the rows where each rule fired. Throws ServableError.
    func judge(_ columns: [String: Column], _ count: Int) throws -> ([String: Column], [String: [Int]]) {
        var fired: [String: [Int]] = [:]
        var refusals: [String] = []
        for rule in rules {
            let column = columns[rule.field]!
            let rows = (0..<count).filter { rule.fires(column.values[rule.index($0, column)]) }
            if rows.isEmpty { continue }
            fired[rule.name] = rows
            if rule.action == "refuse" { refusals += rows.map { rule.told(column.values[rule.index($0, column)], $0) } }
        }
        if !refusals.isEmpty { throw ServableError(code: "refused", faults: refusals) }
        var changed = columns
        for rule in rules where rule.action == "clip" {
            for row in fired[rule.name] ?? [] {
                let index = rule.index(row, changed[rule.field]!)
                let value = changed[rule.field]!.values[index]
                if rule.fires(value) { changed[rule.field]!.values[index] = rule.put(value) }
            }
        }
        return (changed, fired)
    }
}

private func held(_ value: Any?) -> Value {
    if let text = value as? String { return .text(text) }
    if let number = value as? NSNumber { return .number(number.doubleValue) }
    return .none
}

private func shown(_ value: Value) -> String {
    switch value {
    case .number(let number): return Int64(exactly: number).map(String.init) ?? String(number)
    case .text(let text): return text
    case .none: return "nothing"
    }
}
