" hef-lsp through vim-lsp: source this file after vim-lsp is on the runtime path.
" `setlocal omnifunc=lsp#complete` and CTRL-X CTRL-O, or asyncomplete-lsp.vim as one types.
let g:hef_lsp_command = get(g:, 'hef_lsp_command', ['hef-lsp', 'serve'])

augroup hef_lsp
  autocmd!
  autocmd User lsp_setup call lsp#register_server({
  \   'name': 'hef-lsp',
  \   'cmd': {info -> g:hef_lsp_command},
  \   'root_uri': {info -> lsp#utils#path_to_uri(
  \     lsp#utils#find_nearest_parent_file_directory(lsp#utils#get_buffer_path(), ['.git/']))},
  \   'allowlist': ['*'],
  \})
augroup END
