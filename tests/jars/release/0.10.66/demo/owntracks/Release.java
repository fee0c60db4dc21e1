package demo.owntracks;

/** What is particular to release 0.10.66. */
final class Release {
    static final String NEWS = "the network is asked less often while parked";
    static final int KEEP_ALIVE_SECONDS = 300;

    private Release() {
    }
}
