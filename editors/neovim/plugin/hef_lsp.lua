-- Defines `:Hef` and waits for the client; everything else is loaded when it attaches.
if vim.g.loaded_hef_lsp or vim.fn.has('nvim-0.11') == 0 then
  return
end
vim.g.loaded_hef_lsp = true

vim.api.nvim_create_user_command('Hef', function(call)
  require('hef_lsp.commands').run(call.fargs)
end, {
  nargs = '+',
  desc = 'hef-lsp: status, pause, context, explain, reindex, toggle',
  complete = function(lead, line)
    return require('hef_lsp.commands').complete(lead, line)
  end,
})

local group = vim.api.nvim_create_augroup('hef_lsp', {})

vim.api.nvim_create_autocmd('LspAttach', {
  group = group,
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'hef_lsp' then
      require('hef_lsp').attach(client, event.buf)
    end
  end,
})

vim.api.nvim_create_autocmd('LspDetach', {
  group = group,
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'hef_lsp' then
      require('hef_lsp').detach(event.buf)
    end
  end,
})
