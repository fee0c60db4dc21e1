package java.lang;

/** What the compiler must know of the device's class; never part of a JAR. */
public class Throwable {
}
