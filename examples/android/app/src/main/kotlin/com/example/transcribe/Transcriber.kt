package com.example.transcribe

import java.io.Closeable
import java.io.File
import org.tensorflow.lite.Interpreter

/**
 * Turns speech into text with a .tflite file that keras-contextnet exported.
 *
 * It is not thread-safe: make, use and close it on one thread, and not on the one that draws.
 */
class Transcriber(model: File, threads: Int = 2) : Closeable {

    private val vocabulary = Vocabulary.read(model)
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))

    /** Samples per second that [transcribe] expects. */
    val sampleRate: Int = vocabulary.sampleRate

    /** The text of [audio]: mono samples in [-1, 1], [sampleRate] of them a second. */
    fun transcribe(audio: FloatArray): String {
        if (audio.size < sampleRate / 10) return "" // 0.1 s: no word is that short
        // Inputs given as arrays resize the model's inputs; buffers would not.
        val inputs = mapOf(
            "audio" to arrayOf(audio), // (1, samples)
            "audio_length" to intArrayOf(audio.size), // (1,)
        )
        val length = IntArray(1)
        interpreter.runSignature(inputs, mapOf("token_length" to length), "transcribe")
        // How many tokens there are is known only now, so they are read from the tensor itself.
        val tokens = interpreter.getOutputTensorFromSignature("tokens", "transcribe")
            .asReadOnlyBuffer().asIntBuffer() // (1, N), N >= length
        return vocabulary.text(List(length[0]) { tokens.get(it) })
    }

    override fun close() = interpreter.close()
}
