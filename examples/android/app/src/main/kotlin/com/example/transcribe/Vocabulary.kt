package com.example.transcribe

import java.io.File
import java.util.zip.ZipFile
import org.json.JSONObject

/** What an exported .tflite file says of itself, in the zip archive at its end. */
class Vocabulary(private val pieces: List<String>, val sampleRate: Int) {

    /** The text of token ids: "▁" at a piece's start is the space before a word. */
    fun text(tokens: List<Int>): String =
        tokens.joinToString("") { pieces[it] }.replace('▁', ' ').trim()

    companion object {
        // ZipFile looks for the archive from the file's end; ZipInputStream would look at its start.
        fun read(model: File): Vocabulary =
            ZipFile(model).use { zip ->
                fun entry(name: String): String {
                    val found = requireNotNull(zip.getEntry(name)) {
                        "Expected $name in $model. Export the model with a tokenizer."
                    }
                    return zip.getInputStream(found).bufferedReader().use { it.readText() }
                }
                Vocabulary(
                    pieces = entry("tokens.txt").split("\n"),
                    sampleRate = JSONObject(entry("metadata.json")).getInt("sample_rate"),
                )
            }
    }
}
