-- The running hef-lsp client, and its commands.
local M = {}

M.NAME = 'hef_lsp'

---@param bufnr? integer
---@return vim.lsp.Client? client The one attached to the buffer.
function M.of(bufnr)
  return vim.lsp.get_clients({ name = M.NAME, bufnr = bufnr or vim.api.nvim_get_current_buf() })[1]
end

---@return vim.lsp.Client? client That of this buffer, or any where this buffer has none.
function M.any()
  return M.of() or vim.lsp.get_clients({ name = M.NAME })[1]
end

---@param message string
---@param level? integer
function M.say(message, level)
  vim.notify('hef-lsp: ' .. message, level or vim.log.levels.INFO)
end

-- Runs a command of the server; `on_answer` gets what it answers (`vim.NIL` becomes nil).
---@param command string
---@param arguments any[]
---@param on_answer fun(answer: any)
function M.command(command, arguments, on_answer)
  local client = M.any()
  if not client then
    M.say('not running in this buffer; see :checkhealth hef_lsp', vim.log.levels.WARN)
    return
  end
  local params = { command = command, arguments = arguments }
  client:request('workspace/executeCommand', params, function(err, answer)
    if err then
      M.say(err.message, vim.log.levels.ERROR)
    else
      on_answer(answer ~= vim.NIL and answer or nil)
    end
  end)
end

return M
