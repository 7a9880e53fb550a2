using System;
using System.Collections.Generic;

namespace Example.Time
{
    public interface IClock
    {
        DateTime Now { get; }
    }

    /// <summary>Stands still until told to move.</summary>
    [Serializable]
    public sealed class FakeClock : IClock
    {
        private readonly List<DateTime> history = new();

        public DateTime Now { get; private set; }

        public FakeClock(DateTime start)
        {
            Now = start;
        }

        public void Advance(TimeSpan by)
        {
            if (by < TimeSpan.Zero)
            {
                throw new ArgumentOutOfRangeException(nameof(by), "time does not run backwards");
            }
            history.Add(Now);
            Now += by;
        }

        public IEnumerable<DateTime> History => history;
    }

    public enum Precision { Second, Millisecond }
}
