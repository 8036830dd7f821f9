// Golden rows: the model answers as where it was made. Needs onnxruntime, as build.gradle.kts brings it.

package servable

import java.io.File
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Test

class GoldenTest {
    private val assets = File("src/main/assets")

    @Test
    fun goldenRows() {
        val golden = JSONObject(File(assets, "golden.json").readText())
        Model(File(assets, "contract.json").readText(), File(assets, "model.ort").readBytes()).use { model ->
            assertEquals(emptyList<String>(), differences(model, golden))
        }
    }
}
