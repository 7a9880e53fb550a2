" hef-lsp through ALE: source this file after ALE is on the runtime path.
" Then `:ALEComplete`, or `let g:ale_completion_enabled = 1` before ALE is loaded, or
" CTRL-X CTRL-O after this line, which overrides what a file type sets:
" `autocmd FileType * setlocal omnifunc=ale#completion#OmniFunc`
let g:hef_lsp_command = get(g:, 'hef_lsp_command', 'hef-lsp serve')

function! HefLspRoot(buffer) abort
  let l:git = ale#path#FindNearestDirectory(a:buffer, '.git')
  return empty(l:git) ? fnamemodify(bufname(a:buffer), ':p:h') : fnamemodify(l:git, ':h:h')
endfunction

for s:language in ['python', 'c', 'cpp', 'cs', 'go', 'java', 'javascript', 'php', 'ruby', 'rust', 'typescript']
  call ale#linter#Define(s:language, {
  \   'name': 'hef-lsp',
  \   'lsp': 'stdio',
  \   'executable': {buffer -> split(g:hef_lsp_command)[0]},
  \   'command': {buffer -> g:hef_lsp_command},
  \   'project_root': function('HefLspRoot'),
  \})
endfor
