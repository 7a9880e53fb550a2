-- Configuration of hef-lsp for Neovim 0.11 and later.
-- Put this file into `lsp/` on the runtime path, then: vim.lsp.enable('hef_lsp')
return {
  cmd = { 'hef-lsp', 'serve' },
  root_markers = { '.git', '.hg', 'pyproject.toml', 'package.json', 'go.mod', 'Cargo.toml' },
  single_file_support = true,
  init_options = {},
}
