# To be sourced.

# explain ARGUMENT...: print the head of the script that is running, and stop: asked for by --help or
# -h, or because the arguments are not right.
explain() {
    local status=0
    [[ ${1:-} == --help || ${1:-} == -h ]] || { status=2; exec >&2; }
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit $status
}
