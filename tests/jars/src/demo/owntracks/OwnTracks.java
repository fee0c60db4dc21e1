package demo.owntracks;

import javax.microedition.midlet.MIDlet;

/**
 * A MIDlet that says which release it is, and nothing more: something to release.
 *
 * No text is joined with `+`, because javac would use StringBuilder for it, which CLDC does not have.
 */
public class OwnTracks extends MIDlet {
    protected void startApp() {
        String name = getAppProperty("MIDlet-Name");
        System.out.print(name == null ? "OwnTracks" : name);
        System.out.print(' ');
        System.out.println(getAppProperty("MIDlet-Version"));
        System.out.println(Release.NEWS);
        System.out.println(Release.KEEP_ALIVE_SECONDS);
        notifyDestroyed();
    }

    protected void pauseApp() {
    }

    protected void destroyApp(boolean unconditional) {
    }
}
