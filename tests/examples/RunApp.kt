import android.media.AudioRecord
import com.example.transcribe.Recorder
import com.example.transcribe.Transcriber
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Transcribes files of raw float32 samples, one line each; then records for half a second. */
fun main(arguments: Array<String>) {
    Transcriber(File(arguments.first())).use { transcriber ->
        println(transcriber.sampleRate)
        for (path in arguments.drop(1)) {
            val bytes = ByteBuffer.wrap(File(path).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
            println(transcriber.transcribe(FloatArray(bytes.capacity() / 4) { bytes.getFloat(4 * it) }))
        }
    }
    val samples = Recorder(sampleRate = 8000, maximumSeconds = 1).record()
    println("${samples.size} ${samples.first() * (1 shl 20)} ${samples.last() * (1 shl 20)}")
    println(Recorder(sampleRate = 8000).apply { stop() }.record().size)
    println(AudioRecord.released)
}
