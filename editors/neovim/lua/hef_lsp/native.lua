-- Ghost text by Neovim 0.12 (`vim.lsp.inline_completion`). Neovim asks and draws; taking a
-- suggestion is done here, because Neovim would put it beside what was typed since it was asked for.
local Item = require('hef_lsp.item')

local M = {}

-- By buffer: what is enabled for a client alone cannot be disabled again in Neovim 0.12.4.
---@param bufnr integer
---@param enabled boolean
function M.enable(bufnr, enabled)
  vim.lsp.inline_completion.enable(enabled, { bufnr = bufnr })
end

---@param bufnr integer
---@param found vim.lsp.inline_completion.Item
---@return hef_lsp.Item
local function item_of(bufnr, found)
  local row, col = Item.cursor(bufnr)
  local tail = Item.tail_at(bufnr, row, col)
  local range = { row, col, row, col }
  if found.range then
    range = { found.range:to_extmark() }
  end
  return Item.new(found.insert_text --[[@as string]], range, row, col, tail)
end

-- Whether there was a suggestion; it is put in when Neovim is ready for it.
---@param bufnr integer
---@param part fun(text: string): string
---@return boolean
function M.accept(bufnr, part)
  return vim.lsp.inline_completion.get({
    bufnr = bufnr,
    on_accept = function(found)
      local item = item_of(bufnr, found)
      local rest = Item.remaining(bufnr, item)
      if rest and rest ~= '' then
        local text = part(rest)
        Item.insert(bufnr, item, text, text == rest)
      end
    end,
  })
end

-- Taking nothing of the suggestion takes it off the screen.
---@param bufnr integer
---@return boolean
function M.dismiss(bufnr)
  return vim.lsp.inline_completion.get({ bufnr = bufnr, on_accept = function() end })
end

return M
