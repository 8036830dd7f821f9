// Golden rows: the model answers as where it was made.

import XCTest
@testable import Model

final class GoldenTests: XCTestCase {
    func testGoldenRows() throws {
        let data = try Data(contentsOf: Bundle.module.url(forResource: "golden", withExtension: "json")!)
        let golden = try JSONSerialization.jsonObject(with: data) as! [String: Any]
        let (absolute, relative) = (golden["absolute"] as! Double, golden["relative"] as! Double)
        let model = try Model()
        for asked in golden["asked"] as! [[String: Any]] {
            let rows = (asked["body"] as! [String: Any])["rows"] as! [[String: Any]]
            let expected = (asked["told"] as! [String: Any])["rows"] as! [[String: Any]]
            for (want, got) in zip(expected, try model.predict(rows).rows) { compare(want, got, absolute, relative) }
        }
    }

    private func compare(_ want: Any, _ got: Any?, _ absolute: Double, _ relative: Double) {
        if let want = want as? [String: Any], let got = got as? [String: Any] {
            for (name, value) in want { compare(value, got[name], absolute, relative) }
        } else if let want = want as? [Any], let got = got as? [Any] {
            for (one, other) in zip(want, got) { compare(one, other, absolute, relative) }
        } else if let want = want as? NSNumber, let got = got as? NSNumber {
            XCTAssertEqual(got.doubleValue, want.doubleValue, accuracy: absolute + relative * abs(want.doubleValue))
        } else if let want = want as? String {
            XCTAssertEqual(got as? String, want)
        } else {
            XCTAssertTrue(want is NSNull && got is NSNull)
        }
    }
}
