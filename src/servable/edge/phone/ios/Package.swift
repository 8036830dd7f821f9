// swift-tools-version:5.9
// A library of one model.

import PackageDescription

let package = Package(
    name: "Model",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Model", targets: ["Model"])],
    dependencies: [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "IOS_RELEASE"),
    ],
    targets: [
        .target(
            name: "Model",
            dependencies: [.product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")],
            resources: [.copy("model.ort"), .copy("contract.json")]
        ),
        .testTarget(name: "ModelTests", dependencies: ["Model"], resources: [.copy("golden.json")]),
    ]
)
