// Model: the contract, the rules and a session of onnxruntime, asked in rows as the server is.

import CryptoKit
import Foundation
import OnnxRuntimeBindings

/// Rows of the answer, by the outputs' names, and the rows where each rule fired.
public struct Answer {
    public let rows: [[String: Any]]
    public let fired: [String: [Int]]
}

/// A model from contract.json and model.ort, by default those of this package.
public final class Model {
    private let contract: Contract
    private let rules: Rules
    private let inside: Told
    private let environment: ORTEnv
    private let session: ORTSession

    /// Throws ServableError where the model is not that of the contract.
    public init(contract: URL = Bundle.module.url(forResource: "contract", withExtension: "json")!,
                model: URL = Bundle.module.url(forResource: "model", withExtension: "ort")!) throws {
        self.contract = try Contract(Data(contentsOf: contract))
        rules = Rules(self.contract.told)
        inside = self.contract.told["model"] as! Told
        let expected = (self.contract.told["file"] as! Told)["sha256"] as! String
        let found = SHA256.hash(data: try Data(contentsOf: model)).map { String(format: "%02x", $0) }.joined()
        if found != expected {
            throw ServableError(code: "digest_mismatch", faults: ["model.ort has SHA-256 \(found), the export says \(expected)"])
        }
        environment = try ORTEnv(loggingLevel: .error)
        session = try ORTSession(env: environment, modelPath: model.path, sessionOptions: nil)
    }

    /// The answer to rows: numbers, texts, NSNull where there is no value. Throws ServableError with every fault.
    public func predict(_ rows: [[String: Any]]) throws -> Answer {
        let (columns, fired) = try rules.judge(contract.read(rows), rows.count)
        let alone = inside["alone"] as! Bool
        let parts = alone ? rows.indices.map { $0..<($0 + 1) } : rows.isEmpty ? [] : [0..<rows.count]
        return Answer(rows: try parts.flatMap { try run(columns, $0) }, fired: fired)
    }

    private func run(_ columns: [String: Column], _ rows: Range<Int>) throws -> [[String: Any]] {
        var feeds: [String: ORTValue] = [:]
        for field in contract.inputs { feeds[field.name] = try tensor(field, columns[field.name]!, rows) }
        let given = try session.run(withInputs: feeds, outputNames: Set(contract.outputs.map(\.name)), runOptions: nil)
        var answers = Array(repeating: [String: Any](), count: rows.count)
        for field in contract.outputs {
            let values = try values(field, given[field.name]!)
            let width = values.count / rows.count
            for row in 0..<rows.count { answers[row][field.name] = part(field, Array(values[row * width..<(row + 1) * width])) }
        }
        return answers
    }

    private func tensor(_ field: Field, _ column: Column, _ rows: Range<Int>) throws -> ORTValue {
        let values = Array(column.values[rows.lowerBound * column.width..<rows.upperBound * column.width])
        let shape = (0..<field.rank).map { NSNumber(value: $0 == 0 ? rows.count : column.width) }
        switch field.datatype {
        case "FP32": return try plain(values.map { Float(number($0) ?? .nan) }, .float, shape)
        case "INT64": return try plain(values.map { Int64(number($0) ?? 0) }, .int64, shape)
        case "INT32": return try plain(values.map { Int32(number($0) ?? 0) }, .int32, shape)
        default: return try ORTValue(tensorStringData: values.map(text), shape: shape)
        }
    }

    private func plain<Number>(_ values: [Number], _ type: ORTTensorElementDataType, _ shape: [NSNumber]) throws -> ORTValue {
        let data = values.withUnsafeBytes { NSMutableData(bytes: $0.baseAddress, length: $0.count) }
        return try ORTValue(tensorData: data, elementType: type, shape: shape)
    }

    private func number(_ value: Value) -> Double? {
        if case .number(let number) = value { return number }
        return nil
    }

    private func text(_ value: Value) throws -> String {
        if case .text(let text) = value { return text }
        guard let missing = inside["missing_text"] as? String else {
            throw ServableError(code: "model_failed", faults: ["the model takes text, got a missing value"])
        }
        return missing
    }

    private func values(_ field: Field, _ value: ORTValue) throws -> [Any] {
        if field.datatype == "BYTES" { return try value.tensorStringData() }
        let data = try value.tensorData() as Data
        switch field.datatype {
        case "FP32": return read(data, Float.self).map { $0.isFinite ? $0 as Any : NSNull() }
        case "INT64": return read(data, Int64.self)
        default: return read(data, Int32.self)
        }
    }

    private func read<Number>(_ data: Data, _: Number.Type) -> [Number] {
        data.withUnsafeBytes { Array($0.bindMemory(to: Number.self)) }
    }

    /// What one row was answered: a value, values by feature, or a list.
    private func part(_ field: Field, _ own: [Any]) -> Any {
        if !field.features.isEmpty, field.features.count == own.count {
            return Dictionary(uniqueKeysWithValues: zip(field.features, own))
        }
        return own.count == 1 ? own[0] : own
    }
}
