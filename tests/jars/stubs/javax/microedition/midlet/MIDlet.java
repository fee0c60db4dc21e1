package javax.microedition.midlet;

/** What the compiler must know of the device's class; never part of a JAR. */
public abstract class MIDlet {
    protected MIDlet() {
    }

    protected abstract void startApp();

    protected abstract void pauseApp();

    protected abstract void destroyApp(boolean unconditional);

    public final String getAppProperty(String key) {
        return null;
    }

    public final void notifyDestroyed() {
    }
}
