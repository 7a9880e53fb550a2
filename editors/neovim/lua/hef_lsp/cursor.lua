-- Tells the server where the cursor rests, so that what will be asked for there is worked out before.
local M = {}

local REST_MS = 200

local n_moves = 0

---@param bufnr integer
local function tell(bufnr)
  local client = require('hef_lsp.client').of(bufnr)
  if client then
    local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
    client:notify('hef/cursorMoved', params)
  end
end

-- In insert mode suggestions are asked for as it is.
---@param bufnr integer
---@param group integer
function M.follow(bufnr, group)
  vim.api.nvim_create_autocmd({ 'CursorMoved', 'BufEnter' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      n_moves = n_moves + 1
      local move = n_moves
      vim.defer_fn(function()
        if move == n_moves and vim.api.nvim_get_current_buf() == bufnr then
          tell(bufnr)
        end
      end, REST_MS)
    end,
  })
end

return M
