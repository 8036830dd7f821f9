package ai.onnxruntime;

/** The names of onnxruntime's Java package that Model.kt uses, so that it is compiled; they compute nothing. */
public interface OnnxValue extends AutoCloseable {
    Object getValue() throws OrtException;

    void close();
}
