package java.lang;

import java.io.PrintStream;

/** What the compiler must know of the device's class; never part of a JAR. */
public final class System {
    public static final PrintStream out = null;
}
