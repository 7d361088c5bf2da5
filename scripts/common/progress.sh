# To be sourced: one line of progress for a script of many stages, and what it says when stopped.
#
# The script calls its stages twice, each as `stage NAME SECONDS TITLE COMMAND...`: with `counting=1`
# to add up what there is to do, then to do it. SECONDS is what a stage is expected to take; all are
# stretched by what this run's stages have taken so far. On a terminal the line moves; elsewhere a
# new one is written every ten seconds.
counting='' stages=0 stage_number=0
waiting=0       # seconds that the stages after this one are expected to take
took=10 meant=10  # seconds that stages of this run took, and were expected to; ten weigh as before
ticker=''

# advance TITLE SECONDS: write the line until killed.
advance() {
    local begin=$SECONDS lasted pace own share bar left end='\n' pause=9
    [[ ! -t 1 ]] || { end='\e[K\r' pause=1; }
    while kill -0 $$ 2> /dev/null; do
        lasted=$((SECONDS - begin))
        pace=$((1000 * took / meant))
        share=$((1000 * (took + lasted) / (meant + $2))) # were it to end now
        pace=$((share > pace ? share : pace))
        own=$(($2 * pace / 1000))
        share=$((own > lasted ? 10 * lasted / own : 10))
        printf -v bar "%.${share}s%.$((10 - share))s" "##########" ".........."
        left=$((waiting * pace / 1000 + (own > lasted ? own - lasted : 0)))
        printf "%d/%d [%s] %.56s, about %d:%02d left$end" \
            "$stage_number" "$stages" "$bar" "$1" $((left / 60)) $((left % 60))
        sleep "$pause" > /dev/null 2>&1
    done
}

stop_advancing() {
    [[ -z $ticker ]] || { kill "$ticker" && wait "$ticker"; } 2> /dev/null || true
    ticker=''
    [[ ! -t 1 ]] || printf '\e[K'
}

trap stop_advancing EXIT
trap 'echo >&2; echo "${0##*/}: stopped; the same command goes on" >&2; exit 130' INT
