-- Ghost text on the screen: one extmark for each buffer, inline after the cursor and lines below.
local M = {}

local namespace = vim.api.nvim_create_namespace('hef_lsp')

function M.define_highlights()
  local shared = vim.fn.hlexists('ComplHint') == 1
  vim.api.nvim_set_hl(0, 'HefGhost', { default = true, link = shared and 'ComplHint' or 'NonText' })
  vim.api.nvim_set_hl(
    0,
    'HefHint',
    { default = true, link = shared and 'ComplHintMore' or 'MoreMsg' }
  )
end

-- Virtual text shows a tab as ^I, so it is laid out here.
---@param text string
---@param column integer The screen column where it begins.
---@param tabstop integer
---@return string
local function expand_tabs(text, column, tabstop)
  if not text:find('\t', 1, true) then
    return text
  end
  local parts = {}
  for piece, tab in text:gmatch('([^\t]*)(\t?)') do
    column = column + vim.fn.strdisplaywidth(piece, column)
    local width = tab ~= '' and tabstop - column % tabstop or 0
    column = column + width
    table.insert(parts, piece .. (' '):rep(width))
  end
  return table.concat(parts)
end

---@param bufnr integer
---@param row integer
---@param col integer
---@param text string
---@param hint? string
function M.show(bufnr, row, col, text, hint)
  local lines = vim.split(text, '\n', { plain = true })
  local tabstop = vim.bo[bufnr].tabstop
  local chunks = {}
  for i, line in ipairs(lines) do
    local column = i == 1 and vim.fn.virtcol('.') - 1 or 0
    chunks[i] = { { expand_tabs(line, column, tabstop), 'HefGhost' } }
  end
  if hint then
    table.insert(chunks[#chunks], { hint, 'HefHint' })
  end
  M.clear(bufnr)
  vim.api.nvim_buf_set_extmark(bufnr, namespace, row, col, {
    virt_text = chunks[1],
    virt_text_pos = 'inline',
    virt_lines = vim.list_slice(chunks, 2),
    hl_mode = 'combine',
    undo_restore = false,
  })
end

---@param bufnr integer
function M.clear(bufnr)
  if vim.api.nvim_buf_is_valid(bufnr) then
    vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  end
end

return M
