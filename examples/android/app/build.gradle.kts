import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "com.example.transcribe"
    compileSdk = 36

    defaultConfig {
        applicationId = "com.example.transcribe"
        minSdk = 24 // the first java.util.zip.ZipFile that reads a zip archive behind other data
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") } // phones, and the emulator
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    androidResources { noCompress += "tflite" } // weights hardly shrink, and are copied once
}

kotlin { compilerOptions { jvmTarget = JvmTarget.JVM_17 } }

dependencies {
    // org.tensorflow.lite.Interpreter is in 1.x and again since 2.1.0; 2.0.x lacks it.
    implementation("com.google.ai.edge.litert:litert:2.2.0") {
        // Models delivered by an app store: not used here, and they would bring permissions along.
        exclude(group = "com.google.android.play")
        exclude(group = "com.google.android.gms")
    }
}
