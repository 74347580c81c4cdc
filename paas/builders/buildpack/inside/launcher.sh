#!/bin/sh
# Start a process of the app in the environment that its layers ask for.
#
#   launcher [-p TYPE] [-C DIR] COMMAND                     a shell line, run by bash
#   launcher [-p TYPE] [-C DIR] [--] PROGRAM ARGUMENT...    a program as it is; -- if it has no argument
#
# -p adds the variables of one process type (env.launch/TYPE). What the layers ask for was written by the export phase to
# /cnb/launch: env and env.TYPE are shell, exec.d names directories of programs, profile names scripts for bash.
# Source: buildpack spec, "Launch"; .profile.d of the app itself is Heroku's.

launch=/cnb/launch process='' directory=/workspace is_direct=''
while [ $# -gt 0 ]; do
    case $1 in
        -p) process=$2; shift 2 ;;
        -C) directory=$2; shift 2 ;;
        --) is_direct=1; shift; break ;;
        *) break ;;
    esac
done
if [ $# -eq 0 ]; then
    echo 'launcher: there is no command, because the app has no web process; name one, e.g. bash' >&2
    exit 64
fi
[ $# -eq 1 ] || is_direct=1

# Read variables that a program writes to descriptor 3 as TOML, one `name = "value"` a line, and turn them into shell.
read_exec_d() {
    "$1" 3>&1 >&2 | sed -n -E \
        -e "s/^[[:space:]]*\"?([A-Za-z_][A-Za-z0-9_]*)\"?[[:space:]]*=[[:space:]]*'([^']*)'[[:space:]]*\$/export \\1='\\2'/p;t" \
        -e "s/'/'\\\\''/g; s/\\\\\"/\\x1f/g" \
        -e "s/^[[:space:]]*\"?([A-Za-z_][A-Za-z0-9_]*)\"?[[:space:]]*=[[:space:]]*\"([^\"]*)\"[[:space:]]*\$/\\1=\$(printf '%b.' '\\2'); export \\1=\"\${\\1%.}\"/" \
        -e 't found' -e 'b' -e ': found' -e 's/\x1f/"/g;p'
}

[ ! -f "$launch/env" ] || . "$launch/env"
[ -z "$process" ] || [ ! -f "$launch/env.$process" ] || . "$launch/env.$process"
if [ -f "$launch/exec.d" ]; then
    while IFS= read -r programs <&4; do
        for program in "$programs"/* ${process:+"$programs/$process"/*}; do
            [ ! -f "$program" ] || eval "$(read_exec_d "$program" 4<&-)"
        done
    done 4<"$launch/exec.d"
fi
cd "$directory" || exit 1

if [ -f "$launch/profile" ] || [ -f /workspace/.profile ] || [ -d /workspace/.profile.d ]; then
    [ -n "$is_direct" ] || set -- bash -c "$1"
    exec bash -c '
        mapfile -t profiles < <(cat /cnb/launch/profile 2>/dev/null)
        for profile in "${profiles[@]}" /workspace/.profile.d/*.sh /workspace/.profile; do
            [ ! -f "$profile" ] || . "$profile"
        done
        exec "$@"' launcher "$@"
fi
[ -z "$is_direct" ] || exec "$@"
# bash becomes the last simple command by itself, so signals reach the program and no shell stays in between.
exec bash -c "$1"
