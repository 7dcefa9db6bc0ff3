/** The shells' halves of completion; what may stand where is answered by `viv __complete`. */
export const completionScripts = {
  bash: `# bash completion for viv: source <(viv completion bash)
_viv() {
  local typed="\${COMP_LINE:0:COMP_POINT}" line current prefix="" files=0 words
  # Bash splits its words at colons; to viv a reference or NAME:PATH is one word.
  read -ra words <<<"$typed"
  if [[ $typed == *[[:space:]] ]]; then words+=(""); fi
  current="\${words[-1]}"
  if [[ $COMP_WORDBREAKS == *:* && $current == *:* ]]; then prefix="\${current%"\${current##*:}"}"; fi
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; continue; fi
    line="\${line%%$'\\t'*}"
    COMPREPLY+=("\${line#"$prefix"}")
  done < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
  if ((files)); then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("\${line#"$prefix"}"); done < <(compgen -f -- "$current")
  fi
  if [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *: ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _viv viv
`,
  zsh: `#compdef viv
# zsh completion for viv: viv completion zsh > ~/.zfunc/_viv
_viv() {
  local line files=0
  local -a found bare
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; continue; fi
    if [[ $line == *$'\\t'* ]]; then found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    elif [[ $line == *: ]]; then bare+=("$line")
    else found+=("\${line//:/\\\\:}"); fi
  done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if ((\${#bare})); then compadd -S '' -- "\${bare[@]}"; fi
  if ((\${#found})); then _describe 'viv' found; fi
  if ((files)); then _files; fi
}
if [[ $funcstack[1] == _viv ]]; then _viv "$@"; else compdef _viv viv; fi
`,
  fish: `# fish completion for viv: viv completion fish > ~/.config/fish/completions/viv.fish
function __viv_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path "$current"
    else
      echo $line
    end
  end
end
complete -c viv -f -a '(__viv_complete)'
`,
} as const;
