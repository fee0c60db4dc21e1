import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.jar.Attributes;
import java.util.jar.Manifest;

/** What java.util.jar.Manifest reads: for each text of the standard input (its length, then its bytes) one line. */
public final class ReadManifests {
    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(new java.io.BufferedInputStream(System.in));
        PrintStream out = new PrintStream(new java.io.BufferedOutputStream(System.out), false, StandardCharsets.US_ASCII);
        for (int left = in.readInt(); left > 0; left--) {
            byte[] text = in.readNBytes(in.readInt());
            StringBuilder line = new StringBuilder();
            try {
                Attributes main = new Manifest(new ByteArrayInputStream(text)).getMainAttributes();
                line.append("ok");
                main.forEach((name, value) -> line.append(' ').append(hex(name)).append('=').append(hex(value)));
            } catch (IOException | IllegalArgumentException error) {
                line.append("no ").append(hex(error.getMessage()));
            }
            out.println(line);
        }
        out.flush();
    }

    private static String hex(Object text) {
        return HexFormat.of().formatHex(String.valueOf(text).getBytes(StandardCharsets.UTF_8));
    }
}
