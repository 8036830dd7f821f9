package ai.onnxruntime;

import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;

public class OnnxTensor extends OnnxTensorLike {
    public static OnnxTensor createTensor(OrtEnvironment environment, FloatBuffer data, long[] shape) throws OrtException {
        throw new OrtException();
    }

    public static OnnxTensor createTensor(OrtEnvironment environment, LongBuffer data, long[] shape) throws OrtException {
        throw new OrtException();
    }

    public static OnnxTensor createTensor(OrtEnvironment environment, IntBuffer data, long[] shape) throws OrtException {
        throw new OrtException();
    }

    public static OnnxTensor createTensor(OrtEnvironment environment, String[] data, long[] shape) throws OrtException {
        throw new OrtException();
    }

    public FloatBuffer getFloatBuffer() {
        return null;
    }

    public LongBuffer getLongBuffer() {
        return null;
    }

    public IntBuffer getIntBuffer() {
        return null;
    }

    @Override
    public Object getValue() throws OrtException {
        return null;
    }
}
