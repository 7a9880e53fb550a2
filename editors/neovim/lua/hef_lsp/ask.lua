-- Requests of ghost text: one at a time for each buffer. The server debounces and caches.
local Item = require('hef_lsp.item')

local M = {}

M.INVOKED, M.AUTOMATIC = 1, 2

---@type table<integer, { client: vim.lsp.Client, id: integer }>
local pending = {}

---@param bufnr integer
function M.cancel(bufnr)
  local request = pending[bufnr]
  pending[bufnr] = nil
  if request and not request.client:is_stopped() then
    request.client:cancel_request(request.id)
  end
end

---@param bufnr integer
---@param range lsp.Range
---@param encoding string
---@return integer[]
local function in_bytes(bufnr, range, encoding)
  local function column(position)
    local line = vim.api.nvim_buf_get_lines(bufnr, position.line, position.line + 1, false)[1]
    return line and vim.str_byteindex(line, encoding, position.character, false) or 0
  end
  local first, last = range.start, range['end']
  return { first.line, column(first), last.line, column(last) }
end

-- Asks at the cursor; `on_items` is called only if nothing newer was asked or cancelled meanwhile.
---@param bufnr integer
---@param client vim.lsp.Client
---@param kind integer
---@param on_items fun(items: hef_lsp.Item[])
function M.ask(bufnr, client, kind, on_items)
  M.cancel(bufnr)
  local row, col = Item.cursor(bufnr)
  local tail = Item.tail_at(bufnr, row, col)
  local encoding = client.offset_encoding
  local params = vim.lsp.util.make_position_params(0, encoding) --[[@as table]]
  params.context = { triggerKind = kind }
  local request = { client = client, id = -1 }
  pending[bufnr] = request
  local sent, id = client:request('textDocument/inlineCompletion', params, function(_, result)
    if pending[bufnr] ~= request or not vim.api.nvim_buf_is_valid(bufnr) then
      return
    end
    pending[bufnr] = nil
    local items = {}
    for _, found in ipairs(result and (result.items or result) or {}) do
      local range = found.range and in_bytes(bufnr, found.range, encoding) or { row, col, row, col }
      table.insert(items, Item.new(found.insertText, range, row, col, tail))
    end
    on_items(items)
  end, bufnr)
  if sent and id then
    request.id = id
  else
    pending[bufnr] = nil
  end
end

return M
