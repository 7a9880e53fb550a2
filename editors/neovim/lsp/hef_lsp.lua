-- Configuration of hef-lsp for Neovim 0.11 and later; `vim.lsp.enable('hef_lsp')` uses it.
-- It works alone, too: without the rest of the plugin there is the completion list, and on
-- Neovim 0.12 `vim.lsp.inline_completion.enable()`.
---@type vim.lsp.Config
return {
  cmd = { 'hef-lsp', 'serve' },
  root_markers = { '.git', '.hg', 'pyproject.toml', 'package.json', 'go.mod', 'Cargo.toml' },
  capabilities = {
    textDocument = { inlineCompletion = { dynamicRegistration = false } },
  },
  handlers = {
    ['hef/status'] = function(_, report, ctx)
      local found, status = pcall(require, 'hef_lsp.status')
      if found then
        status.heard(report, ctx.client_id)
      end
    end,
  },
  on_exit = function(code, _, client_id)
    local found, status = pcall(require, 'hef_lsp.status')
    if found then
      status.ended(client_id, code)
    end
  end,
}
