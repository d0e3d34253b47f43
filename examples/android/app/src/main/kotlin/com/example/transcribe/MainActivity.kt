package com.example.transcribe

import android.Manifest.permission.RECORD_AUDIO
import android.app.Activity
import android.content.pm.PackageManager.PERMISSION_GRANTED
import android.os.Bundle
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import java.io.File
import java.util.concurrent.Executors

/** A button that records, and the text of what was said. */
class MainActivity : Activity() {

    // One thread loads the model, records and transcribes; the other draws.
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var transcriber: Transcriber // the worker's
    private var recorder: Recorder? = null // while it records
    private lateinit var text: TextView
    private lateinit var button: Button

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        text = TextView(this).apply {
            textSize = 24f
            setText(R.string.loading)
            setTextIsSelectable(true)
        }
        button = Button(this).apply {
            setText(R.string.record)
            isEnabled = false
            setOnClickListener { if (recorder == null) start() else stop() }
        }
        val margin = (24 * resources.displayMetrics.density).toInt()
        setContentView(
            LinearLayout(this).apply {
                orientation = LinearLayout.VERTICAL
                fitsSystemWindows = true
                setPadding(margin, margin, margin, margin)
                addView(button)
                addView(text)
            }
        )
        inBackground {
            transcriber = Transcriber(modelFile("asr.tflite"))
            getString(R.string.ready)
        }
    }

    override fun onDestroy() {
        recorder?.stop()
        worker.execute { if (::transcriber.isInitialized) transcriber.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun start() {
        if (checkSelfPermission(RECORD_AUDIO) != PERMISSION_GRANTED) {
            requestPermissions(arrayOf(RECORD_AUDIO), 0)
            return
        }
        val recorder = Recorder(transcriber.sampleRate).also { this.recorder = it }
        button.setText(R.string.stop)
        text.setText(R.string.listening)
        inBackground {
            val audio = recorder.record()
            runOnUiThread {
                button.isEnabled = false
                text.setText(R.string.transcribing)
            }
            transcriber.transcribe(audio).ifEmpty { getString(R.string.nothing_heard) }
        }
    }

    private fun stop() {
        recorder?.stop()
        button.isEnabled = false
    }

    override fun onRequestPermissionsResult(
        requestCode: Int, permissions: Array<String>, grantResults: IntArray,
    ) {
        if (grantResults.firstOrNull() == PERMISSION_GRANTED) start()
        else text.setText(R.string.permission_needed)
    }

    /** Runs [work] on the worker, then shows what it returns, or its error. */
    private fun inBackground(work: () -> String) = worker.execute {
        val result = runCatching(work)
        runOnUiThread {
            recorder = null
            text.text = result.getOrElse { it.message ?: it.toString() }
            button.setText(R.string.record)
            button.isEnabled = ::transcriber.isInitialized
        }
    }

    /** The asset [name] as a file, copied once after each installation: the interpreter maps it. */
    private fun modelFile(name: String): File {
        val file = File(filesDir, name)
        val installed = packageManager.getPackageInfo(packageName, 0).lastUpdateTime
        if (file.lastModified() < installed) {
            val unfinished = File(filesDir, "$name.part")
            assets.open(name).use { asset -> unfinished.outputStream().use { asset.copyTo(it) } }
            check(unfinished.renameTo(file)) { "Could not write $file." }
        }
        return file
    }
}
