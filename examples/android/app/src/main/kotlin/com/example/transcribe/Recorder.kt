package com.example.transcribe

import android.annotation.SuppressLint
import android.media.AudioFormat.CHANNEL_IN_MONO
import android.media.AudioFormat.ENCODING_PCM_FLOAT
import android.media.AudioRecord
import android.media.MediaRecorder.AudioSource.VOICE_RECOGNITION
import kotlin.math.min

/** One recording from the microphone, at the rate that the model expects. */
class Recorder(private val sampleRate: Int, maximumSeconds: Int = 60) {

    private val samples = FloatArray(maximumSeconds * sampleRate)

    @Volatile private var recording = true

    /** Makes [record] return, from any thread. */
    fun stop() {
        recording = false
    }

    /** Records until [stop], or until the maximum; returns mono samples in [-1, 1]. */
    @SuppressLint("MissingPermission") // MainActivity asks for it first
    fun record(): FloatArray {
        val bytes = AudioRecord.getMinBufferSize(sampleRate, CHANNEL_IN_MONO, ENCODING_PCM_FLOAT)
        check(bytes > 0) { "The microphone does not record $sampleRate Hz." }
        val microphone = AudioRecord(
            VOICE_RECOGNITION, sampleRate, CHANNEL_IN_MONO, ENCODING_PCM_FLOAT, 4 * bytes,
        )
        try {
            check(microphone.state == AudioRecord.STATE_INITIALIZED) { "The microphone is in use." }
            microphone.startRecording()
            var count = 0
            while (recording && count < samples.size) {
                val wanted = min(sampleRate / 10, samples.size - count)
                val read = microphone.read(samples, count, wanted, AudioRecord.READ_BLOCKING)
                check(read >= 0) { "The microphone failed: error $read." }
                count += read
            }
            microphone.stop()
            return samples.copyOf(count)
        } finally {
            microphone.release()
        }
    }
}
