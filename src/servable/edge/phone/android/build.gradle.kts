// A library of one model. Tests run on the computer, with onnxruntime for its processor.

plugins {
    id("com.android.library")
    kotlin("android")
}

android {
    namespace = "servable"
    compileSdk = 35
    defaultConfig { minSdk = 24 }
    sourceSets["main"].java.srcDir("src/main/kotlin")
    sourceSets["test"].java.srcDir("src/test/kotlin")
}

dependencies {
    implementation("com.microsoft.onnxruntime:onnxruntime-android:ANDROID_RELEASE")
    testImplementation("com.microsoft.onnxruntime:onnxruntime:ANDROID_RELEASE")
    testImplementation("org.json:json:20240303")
    testImplementation("junit:junit:4.13.2")
}
