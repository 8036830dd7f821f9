// Updates: newer editions of the model, signed by its publisher and kept in a folder of the app, in the place of the one in
// its assets. An edition is data, never code: contract.json, model.ort, golden.json.

package servable

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.net.URL
import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.MessageDigest
import java.security.Signature
import java.security.spec.X509EncodedKeySpec
import java.util.Base64
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** What became of a look for an update: a word for programs, a sentence for people. */
data class State(val update: String, val message: String)

/** Why an update is not taken. */
private class NotTaken(val state: String, message: String) : Exception(message)

/** `settings` is updates.json of the assets, `folder` is the app's own. Not for the main thread. */
class Updates(settings: String, private val folder: File, private val fetch: (String) -> ByteArray = { URL(it).readBytes() }) {
    private val told = JSONObject(settings)
    private val known = remembered()

    /** The files of the newest edition that was taken, by name; null: that of the assets is the newest, or it is withdrawn. */
    fun current(): Map<String, ByteArray>? = edition(known.getLong("current")) ?: edition(known.getLong("previous"))

    /** Why a version may not answer; null: it may. */
    fun stopped(version: String): String? =
        known.getJSONObject("disabled").optString(version).ifEmpty { null }?.let { "version $version was withdrawn: $it" }

    /** Look for an update, and take it once `proves` opened its files and asked golden rows; it throws where they fail. What
     * fails changes nothing in use. */
    fun update(proves: (Map<String, ByteArray>) -> Unit): State = try {
        renew(proves)
    } catch (error: NotTaken) {
        State(error.state, error.message!!)
    } catch (error: IOException) {
        State("unreachable", "the update, or the app's folder, cannot be read: ${error.message}")
    }

    /** Go back to the edition before this one, and not take this one again. */
    fun rollback() {
        if (known.getLong("current") == 0L) return
        known.getJSONArray("bad").put(known.getLong("current"))
        known.put("current", known.getLong("previous")).put("previous", 0L)
        save()
    }

    private fun renew(proves: (Map<String, ByteArray>) -> Unit): State {
        val update = verified(String(fetch("${told.getString("updates")}update.json")))
        val version = update.getString("version")
        val sequence = update.getLong("sequence")
        val disabled = update.optJSONObject("disabled") ?: JSONObject()
        if (update.getString("name") != told.getString("name")) throw NotTaken("foreign", "the update is of '${update.getString("name")}'")
        if (sequence < known.getLong("newest")) throw NotTaken("stale", "an older update than one that was seen before is offered")
        known.put("newest", sequence).put("disabled", disabled)
        save()
        val files = update.getJSONObject("files")
        if (update.optInt("needs", 1) > NEEDS || !files.has("model.ort")) throw NotTaken("too-new", "version $version needs a newer app, or is for another target")
        if (disabled.has(version)) return State("withdrawn", "version $version was withdrawn: ${disabled.getString(version)}")
        if (sequence in numbers(known.getJSONArray("bad"))) return State("rejected", "version $version failed on this device before, and is not tried again")
        if (sequence <= maxOf(known.getLong("current"), told.getLong("sequence"))) return State("current", "there is nothing newer")
        take(sequence, version, files, proves)
        return State("installed", "updated to version $version")
    }

    /** All of its files on this device, whole and proven; then one rename makes it the one that counts. */
    private fun take(sequence: Long, version: String, files: JSONObject, proves: (Map<String, ByteArray>) -> Unit) {
        val place = File(folder, "$sequence")
        for (name in files.keys()) {
            val (size, digest) = files.getJSONObject(name).let { it.getLong("bytes") to it.getString("sha256") }
            val file = File(place, name)
            if (file.exists() && sha256(file.readBytes()) == digest) continue // it came before an interruption
            val bytes = fetch("${told.getString("updates")}files/$digest")
            if (bytes.size.toLong() != size || sha256(bytes) != digest) throw NotTaken("damaged", "version $version is not taken: its $name was cut off or changed on its way")
            put(file, bytes)
        }
        try {
            proves(files.keys().asSequence().associateWith { File(place, it).readBytes() })
        } catch (error: Exception) {
            known.getJSONArray("bad").put(sequence)
            save()
            tidy()
            throw NotTaken("rejected", "version $version is not taken: ${error.message}")
        }
        known.put("previous", known.getLong("current")).put("current", sequence)
        save() // from here on it is the one
        tidy()
    }

    /** Nothing in it is looked at before a trusted key's signature holds. */
    private fun verified(text: String): JSONObject = try {
        val signed = JSONObject(text)
        val said = signed.getString("update")
        val marks = signed.getJSONObject("signatures")
        val trusted = told.getJSONArray("trusted").let { keys -> List(keys.length()) { keys.getString(it) } }
        val by = trusted.firstOrNull { marks.has(it) && holds(bytesOf(it), bytesOf(marks.getString(it)), "$SAID$said".toByteArray()) }
        if (by == null) throw NotTaken("forged", "the update is signed by no key that this app trusts: it is not taken")
        JSONObject(said)
    } catch (error: JSONException) {
        throw NotTaken("damaged", "the update cannot be read: ${error.message}")
    } catch (error: IllegalArgumentException) {
        throw NotTaken("damaged", "the update's signature cannot be read")
    }

    private fun holds(key: ByteArray, mark: ByteArray, said: ByteArray): Boolean = try {
        val public = KeyFactory.getInstance("Ed25519").generatePublic(X509EncodedKeySpec(PREFIX + key))
        Signature.getInstance("Ed25519").run { initVerify(public); update(said); verify(mark) }
    } catch (error: java.security.NoSuchAlgorithmException) {
        throw NotTaken("unverifiable", "updates cannot be verified here: Ed25519 is not known (Android 13 knows it)")
    } catch (error: GeneralSecurityException) {
        false
    }

    private fun edition(sequence: Long): Map<String, ByteArray>? {
        if (sequence <= told.getLong("sequence")) return null
        val files = File(folder, "$sequence").listFiles { file -> !file.name.startsWith(".") } ?: return null
        return files.associate { it.name to it.readBytes() }
    }

    private fun remembered(): JSONObject {
        val read = try {
            JSONObject(File(folder, STATE).readText())
        } catch (error: Exception) { // none yet, or one that cannot be read
            JSONObject()
        }
        for (name in listOf("current", "previous", "newest")) if (!read.has(name)) read.put(name, 0L)
        if (!read.has("bad")) read.put("bad", JSONArray())
        if (!read.has("disabled")) read.put("disabled", JSONObject())
        return read
    }

    private fun save() = put(File(folder, STATE), known.toString().toByteArray())

    private fun tidy() {
        val kept = setOf("${known.getLong("current")}", "${known.getLong("previous")}", STATE)
        folder.listFiles()?.filter { it.name !in kept }?.forEach { it.deleteRecursively() }
    }

    private companion object {
        const val NEEDS = 1
        const val STATE = "state.json"
        const val SAID = "servable update "

        /** What stands before the 32 bytes of an Ed25519 key in the form that Java reads (RFC 8410). */
        val PREFIX = byteArrayOf(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

        fun bytesOf(text: String): ByteArray = Base64.getDecoder().decode(text)

        fun numbers(told: JSONArray): List<Long> = List(told.length()) { told.getLong(it) }

        fun sha256(bytes: ByteArray): String = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }

        /** A file, on the disk when this returns, in the place of one that is there. */
        fun put(file: File, bytes: ByteArray) {
            file.parentFile!!.mkdirs()
            val new = File(file.parentFile, ".${file.name}")
            FileOutputStream(new).use { it.write(bytes); it.fd.sync() }
            if (!new.renameTo(file)) throw IOException("cannot write ${file.name}")
        }
    }
}
