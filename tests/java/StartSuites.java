import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * Whether this virtual machine starts a suite: it verifies every class, creates the MIDlet, and calls its method `run`, if it
 * has one. The standard input holds JARs, each behind its length: first the platform's classes, then the suites. For each
 * suite one line: `taken`, or what was thrown.
 */
public final class StartSuites {
    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(new java.io.BufferedInputStream(System.in));
        PrintStream out = new PrintStream(new java.io.BufferedOutputStream(System.out), false, StandardCharsets.US_ASCII);
        int count = in.readInt();
        ClassLoader platform = new Suite(in.readNBytes(in.readInt()), ClassLoader.getPlatformClassLoader());
        for (int left = count - 1; left > 0; left--) {
            byte[] jar = in.readNBytes(in.readInt());
            String verdict = "taken";
            try {
                start(new Suite(jar, platform), platform);
            } catch (Throwable error) {
                Throwable cause = error instanceof java.lang.reflect.InvocationTargetException ? error.getCause() : error;
                verdict = cause.getClass().getSimpleName();
            }
            out.println(verdict);
        }
        out.flush();
    }

    private static void start(Suite suite, ClassLoader platform) throws ReflectiveOperationException {
        for (String name : suite.classes.keySet()) {
            Class.forName(name, true, suite);
        }
        Class<?> midlet = Class.forName("demo.OwnTracks", true, suite);
        Object created = midlet.getConstructor().newInstance();
        Class.forName("javax.microedition.midlet.MIDlet", true, platform).cast(created);
        for (java.lang.reflect.Method method : midlet.getDeclaredMethods()) {
            if (method.getName().equals("run") && method.getParameterCount() == 0) {
                method.setAccessible(true);
                method.invoke(created);
            }
        }
    }

    /** The classes of a JAR by the names that their paths give. */
    private static final class Suite extends ClassLoader {
        final Map<String, byte[]> classes = new HashMap<>();

        Suite(byte[] jar, ClassLoader parent) throws IOException {
            super(parent);
            ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(jar));
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                String path = entry.getName();
                if (path.endsWith(".class")) {
                    classes.put(path.substring(0, path.length() - 6).replace('/', '.'), zip.readAllBytes());
                }
            }
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            byte[] bytes = classes.get(name);
            if (bytes == null) {
                throw new ClassNotFoundException(name);
            }
            return defineClass(name, bytes, 0, bytes.length);
        }
    }
}
