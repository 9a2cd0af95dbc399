/**
 * What a shell is given to complete by. The library's scripts for bash and PowerShell have the line that is being
 * typed evaluated: whoever pressed the key for `ipshard pool show $(...)` had run what stands there. These parts are
 * replaced by ones that carry nothing out; those for zsh and fish quote every word, or evaluate none. [CI18]
 */

/** A part of a script that the library makes, and what stands in its place. */
type Replacement = readonly [generated: string, ours: string];

const BASH: readonly Replacement[] = [
  [
    `    # Build the command to get completions
    requestComp="ipshard complete -- \${words[@]:1}"
    
    # Add an empty parameter if the last parameter is complete
    if [[ -z "$cur" ]]; then
        requestComp="$requestComp ''"
    fi
    
    # Get completions from the program
    out=$(eval "$requestComp" 2>/dev/null)
`,
    // As bash would take a word, as far as nothing has to be carried out for it.
    `    local request=() word name
    for word in "\${words[@]:1:cword}"; do
        if [[ "$word" =~ ^\\"?\\$\\{?([A-Za-z_][A-Za-z0-9_]*)\\}?\\"?$ ]]; then
            name=\${BASH_REMATCH[1]}
            word=\${!name}
        else
            case "$word" in
                \\'*\\' | \\"*\\") word=\${word:1:\${#word}-2} ;;
                \\~/*) word=$HOME/\${word:2} ;;
                *) word=\${word//\\\\/} ;;
            esac
        fi
        request+=("$word")
    done
    out=$(ipshard complete -- "\${request[@]}" 2>/dev/null)
`,
  ],
  [
    `        out=\${out%:*}
    fi
`,
    `        out=\${out%:*}
    fi
    # Arithmetic evaluates, too.
    [[ "$directive" =~ ^[0-9]+$ ]] || directive=0
`,
  ],
  [
    `    COMPREPLY=( $(compgen -W "\${completions[*]}" -- "$cur") )
`,
    // `compgen -W` evaluates its words.
    `    COMPREPLY=()
    local one
    for one in "\${completions[@]}"; do
        [[ -n "$one" && "$one" == "$cur"* ]] && COMPREPLY+=("$one")
    done
`,
  ],
];
/** It takes each of these for a single quote. */
const POWERSHELL: readonly Replacement[] = [
  [`($_ -replace "'", "''")`, `($_ -replace '[\\u0027\\u2018\\u2019\\u201A\\u201B]', '$0$0')`],
];
const REPLACEMENTS: Readonly<Record<string, readonly Replacement[]>> = {
  bash: BASH,
  powershell: POWERSHELL,
};

/** The library's script for a shell, without what it would have evaluated. Throws if the library makes another. */
export function safeScript(shell: string, generated: string): string {
  let script = generated;
  for (const [theirs, ours] of REPLACEMENTS[shell] ?? []) {
    if (script.split(theirs).length !== 2)
      throw new Error(`the script for ${shell} is not the one of which a part is replaced`);
    script = script.replace(theirs, () => ours);
  }
  return script;
}
