package java.io;

/** What the compiler must know of the device's class; never part of a JAR. */
public class PrintStream {
    public void print(char c) {
    }

    public void print(String s) {
    }

    public void println(String s) {
    }

    public void println(int i) {
    }
}
