// Updates: newer editions of the model, signed by its publisher and kept in a folder of the app, in the place of the one in
// this package. An edition is data, never code: contract.json, model.ort, golden.json.

import CryptoKit
import Foundation

/// What became of a look for an update: a word for programs, a sentence for people.
public struct State: Equatable {
    public let update: String
    public let message: String
}

private struct NotTaken: Error {
    let state: State

    init(_ update: String, _ message: String) { state = State(update: update, message: message) }
}

/// `folder` is the app's own. Not for the main thread.
public final class Updates {
    private static let needs = 1
    private static let said = "servable update "
    private let settings: Told
    private let folder: URL
    private let fetch: (URL) throws -> Data
    private var known: Told

    /// By default of this package's updates.json.
    public init(settings: Data? = nil, folder: URL, fetch: @escaping (URL) throws -> Data = { try Data(contentsOf: $0) }) throws {
        let told = try settings ?? Data(contentsOf: Bundle.module.url(forResource: "updates", withExtension: "json")!)
        self.settings = try JSONSerialization.jsonObject(with: told) as! Told
        self.folder = folder
        self.fetch = fetch
        let state = try? Data(contentsOf: folder.appendingPathComponent("state.json"))
        let read = state.flatMap { try? JSONSerialization.jsonObject(with: $0) as? Told } ?? [:]
        known = ["current": 0, "previous": 0, "newest": 0, "bad": [Int](), "disabled": Told()].merging(read) { $1 }
    }

    /// The folder of the newest edition that was taken; nil: that of the package is the newest.
    public func current() -> URL? {
        ["current", "previous"].map(number).filter { $0 > settings["sequence"] as! Int }.map(place).first { FileManager.default.fileExists(atPath: $0.path) }
    }

    /// Why a version may not answer; nil: it may.
    public func stopped(_ version: String) -> String? {
        ((known["disabled"] as? Told)?[version] as? String).map { "version \(version) was withdrawn: \($0)" }
    }

    /// Look for an update, and take it once `proves` opened its folder and asked golden rows; it throws where they fail. What
    /// fails changes nothing in use.
    public func update(_ proves: (URL) throws -> Void) -> State {
        do {
            return try renew(proves)
        } catch let error as NotTaken {
            return error.state
        } catch {
            return State(update: "unreachable", message: "the update, or the app's folder, cannot be read: \(error.localizedDescription)")
        }
    }

    /// Go back to the edition before this one, and not take this one again.
    public func rollback() throws {
        guard number("current") != 0 else { return }
        known["bad"] = (known["bad"] as! [Int]) + [number("current")]
        known["current"] = number("previous")
        known["previous"] = 0
        try save()
    }

    private func renew(_ proves: (URL) throws -> Void) throws -> State {
        let base = URL(string: settings["updates"] as! String)!
        let update = try verified(fetch(base.appendingPathComponent("update.json")))
        guard let version = update["version"] as? String, let sequence = update["sequence"] as? Int, let files = update["files"] as? [String: Told] else {
            throw NotTaken("damaged", "the update cannot be read")
        }
        let disabled = update["disabled"] as? [String: String] ?? [:]
        if update["name"] as? String != settings["name"] as? String { throw NotTaken("foreign", "the update is of another model") }
        if sequence < number("newest") { throw NotTaken("stale", "an older update than one that was seen before is offered") }
        known["newest"] = sequence
        known["disabled"] = disabled
        try save()
        if (update["needs"] as? Int ?? 1) > Updates.needs || files["model.ort"] == nil {
            throw NotTaken("too-new", "version \(version) needs a newer app, or is for another target")
        }
        if let why = disabled[version] { return State(update: "withdrawn", message: "version \(version) was withdrawn: \(why)") }
        if (known["bad"] as! [Int]).contains(sequence) {
            return State(update: "rejected", message: "version \(version) failed on this device before, and is not tried again")
        }
        if sequence <= max(number("current"), settings["sequence"] as! Int) { return State(update: "current", message: "there is nothing newer") }
        try take(sequence, version, files, base, proves)
        return State(update: "installed", message: "updated to version \(version)")
    }

    /// All of its files on this device, whole and proven; then one rename makes it the one that counts.
    private func take(_ sequence: Int, _ version: String, _ files: [String: Told], _ base: URL, _ proves: (URL) throws -> Void) throws {
        for (name, file) in files {
            guard let digest = file["sha256"] as? String, let size = file["bytes"] as? Int, !name.contains("/") else { throw NotTaken("damaged", "the update cannot be read") }
            let target = place(sequence).appendingPathComponent(name)
            if let there = try? Data(contentsOf: target), Updates.digest(there) == digest { continue } // it came before an interruption
            let data = try fetch(base.appendingPathComponent("files/\(digest)"))
            if data.count != size || Updates.digest(data) != digest {
                throw NotTaken("damaged", "version \(version) is not taken: its \(name) was cut off or changed on its way")
            }
            try put(data, target)
        }
        do {
            try proves(place(sequence))
        } catch {
            known["bad"] = (known["bad"] as! [Int]) + [sequence]
            try save()
            try tidy()
            throw NotTaken("rejected", "version \(version) is not taken: \(error.localizedDescription)")
        }
        known["previous"] = number("current")
        known["current"] = sequence
        try save() // from here on it is the one
        try tidy()
    }

    /// Nothing in it is looked at before a trusted key's signature holds.
    private func verified(_ data: Data) throws -> Told {
        guard let told = try? JSONSerialization.jsonObject(with: data) as? Told, let said = told["update"] as? String,
              let marks = told["signatures"] as? [String: String] else { throw NotTaken("damaged", "the update cannot be read") }
        let holds = (settings["trusted"] as! [String]).contains { key in
            guard let raw = Data(base64Encoded: key), let mark = marks[key].flatMap({ Data(base64Encoded: $0) }),
                  let known = try? Curve25519.Signing.PublicKey(rawRepresentation: raw) else { return false }
            return known.isValidSignature(mark, for: Data((Updates.said + said).utf8))
        }
        guard holds else { throw NotTaken("forged", "the update is signed by no key that this app trusts: it is not taken") }
        guard let update = try? JSONSerialization.jsonObject(with: Data(said.utf8)) as? Told else { throw NotTaken("damaged", "the update cannot be read") }
        return update
    }

    private func number(_ name: String) -> Int { known[name] as! Int }

    private func place(_ sequence: Int) -> URL { folder.appendingPathComponent("\(sequence)") }

    private func save() throws { try put(JSONSerialization.data(withJSONObject: known), folder.appendingPathComponent("state.json")) }

    private func tidy() throws {
        let kept = [String(number("current")), String(number("previous")), "state.json"]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where !kept.contains(name) {
            try FileManager.default.removeItem(at: folder.appendingPathComponent(name))
        }
    }

    /// A file, whole, in the place of one that is there.
    private func put(_ data: Data, _ file: URL) throws {
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: file, options: .atomic)
    }

    private static func digest(_ data: Data) -> String { SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined() }
}
