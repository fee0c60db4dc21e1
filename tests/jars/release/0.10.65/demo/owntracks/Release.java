package demo.owntracks;

/** What is particular to release 0.10.65. */
final class Release {
    static final String NEWS = "positions are kept while there is no network";
    static final int KEEP_ALIVE_SECONDS = 60;

    private Release() {
    }
}
