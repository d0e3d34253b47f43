package android.content.res;

import android.util.DisplayMetrics;

public abstract class Resources {
    public abstract DisplayMetrics getDisplayMetrics();
}
