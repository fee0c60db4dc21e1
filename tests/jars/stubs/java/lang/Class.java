package java.lang;

/** What ProGuard looks for in every program; never part of a JAR. */
public final class Class {
}
