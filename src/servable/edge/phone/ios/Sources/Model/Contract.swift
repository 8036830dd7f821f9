// Contract: rows of named values to the model's inputs, held against what it takes. Every fault is told at once.

import Foundation

/// What kept rows from the model. `code` is the server's: "invalid_input", "refused", "digest_mismatch".
public struct ServableError: Error {
    public let code: String
    public let faults: [String]
}

/// A value of a column. Nothing stands for a missing one.
public enum Value: Equatable {
    case number(Double)
    case text(String)
    case none
}

/// The values of an input, row by row, `width` a row.
struct Column {
    let width: Int
    var values: [Value]
}

typealias Told = [String: Any]

/// One input or output, as contract.json tells it.
struct Field {
    let name: String
    let datatype: String
    let features: [String]
    let width: Int
    let rank: Int
    private let kind: String
    private let low: Double?
    private let high: Double?
    private let categories: Set<String>?

    init(_ told: Told) {
        name = told["name"] as! String
        datatype = told["datatype"] as! String
        features = told["features"] as! [String]
        let shape = told["shape"] as! [Int]
        rank = shape.count
        width = shape.dropFirst().reduce(1, *)
        kind = told["values"] as! String
        low = (told["low"] as? Told)?["value"] as? Double
        high = (told["high"] as? Told)?["value"] as? Double
        categories = ((told["categories"] as? Told)?["allowed"] as? [String]).map(Set.init)
    }

    /// The columns that rows name it by.
    var columns: [String] { features.isEmpty ? [name] : features }

    /// The values of these rows. What is wrong with them goes to `faults`.
    func read(_ rows: [[String: Any]], _ faults: inout [String]) -> Column {
        var values: [Value] = []
        for (row, given) in rows.enumerated() {
            let absent = columns.first { given[$0] == nil }
            if let absent, !(kind == "missing" && ["FP32", "BYTES"].contains(datatype)) {
                faults.append("'\(absent)': expected in every row, got none in row \(row)")
                continue
            }
            var found: [Any?] = columns.map { given[$0] }
            if features.isEmpty, width > 1, let list = given[name] as? [Any] { found = list }
            if found.count != width {
                faults.append("'\(name)': expected \(width) values a row, got \(found.count) in row \(row)")
                continue
            }
            for value in found {
                let (held, expected) = one(value)
                if let expected { faults.append("'\(name)': expected \(expected), got \(value ?? "nothing") (row \(row))") }
                values.append(held)
            }
        }
        return Column(width: width, values: values)
    }

    /// A value as the datatype holds it, and what was expected of one that it does not hold.
    private func one(_ value: Any?) -> (Value, String?) {
        guard let value, !(value is NSNull) else {
            return (.none, kind == "finite" || datatype.hasPrefix("INT") ? "a value" : nil)
        }
        let held = datatype == "BYTES" ? text(value) : number(value)
        guard let held else { return (.none, datatype == "BYTES" ? "text" : "a number that fits \(datatype)") }
        var shown = ""
        switch held {
        case .number(let number):
            if number.isNaN { return (.none, kind == "finite" ? "a finite number" : nil) }
            if let low, number < low { return (held, "at least \(low)") }
            if let high, number > high { return (held, "at most \(high)") }
            shown = String(Int64(exactly: number) ?? 0)
        case .text(let text): shown = text
        case .none: break
        }
        if let categories, !categories.contains(shown) {
            return (held, "one of \(categories.sorted().prefix(20).joined(separator: ", "))")
        }
        return (held, nil)
    }

    /// A category written as a number: 8 and 8.0 are both "8".
    private func text(_ value: Any) -> Value? {
        if let text = value as? String { return .text(text) }
        guard let number = plain(value) else { return nil }
        return .text(number == number.rounded() ? String(format: "%.0f", number) : String(number))
    }

    private func number(_ value: Any) -> Value? {
        guard let wide = plain(value) else { return nil }
        if datatype == "FP32" {
            let narrow = Float(wide)
            return narrow.isInfinite ? nil : .number(Double(narrow))
        }
        guard let whole = Int64(exactly: wide) else { return nil }
        return datatype == "INT64" || Int32(exactly: whole) != nil ? .number(Double(whole)) : nil
    }

    /// A number that is none of the two truths, which Foundation counts among them.
    private func plain(_ value: Any) -> Double? {
        guard let number = value as? NSNumber, CFGetTypeID(number) != CFBooleanGetTypeID() else { return nil }
        return number.doubleValue
    }
}

/// What the model takes and gives.
struct Contract {
    let told: Told
    let inputs: [Field]
    let outputs: [Field]

    init(_ json: Data) throws {
        told = try JSONSerialization.jsonObject(with: json) as! Told
        inputs = (told["inputs"] as! [Told]).map(Field.init)
        outputs = (told["outputs"] as! [Told]).map(Field.init)
    }

    /// The inputs of these rows. Throws ServableError with every fault.
    func read(_ rows: [[String: Any]]) throws -> [String: Column] {
        var faults: [String] = []
        var read: [String: Column] = [:]
        for field in inputs { read[field.name] = field.read(rows, &faults) }
        let known = Set(inputs.flatMap(\.columns))
        for strange in Set(rows.flatMap(\.keys)).subtracting(known).sorted() {
            faults.append("'\(strange)': expected a column of the model, got an unknown column")
        }
        if !faults.isEmpty { throw ServableError(code: "invalid_input", faults: faults) }
        return read
    }
}
